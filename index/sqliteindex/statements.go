package sqliteindex

import (
	"context"
	"database/sql/driver"
	"strings"
)

// caching opens connections that keep their statements: SQLite parses a query once for
// each connection, not once for each call.
type caching struct{ driver.Connector }

// Connect implements driver.Connector.
func (c caching) Connect(ctx context.Context) (driver.Conn, error) {
	opened, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{sqliteConn: opened.(sqliteConn), statements: map[string]*statement{}}, nil
}

// sqliteConn is the part of the driver's connection that database/sql uses.
type sqliteConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// conn is a connection that keeps its statements. database/sql uses it for one call at a
// time.
type conn struct {
	sqliteConn
	statements map[string]*statement
}

// maxStatements bounds the memory of a connection. Lists have a query for each
// combination of filters; when they have taken all places, all places are given up.
const maxStatements = 200

// statement is a parsed query.
type statement struct {
	driver.Stmt
	busy bool // its rows are open, so that it can't begin anew
}

// statement returns the parsed query, or nil where the driver has to parse it for this
// call: a script, and a query whose rows are still open.
func (c *conn) statement(ctx context.Context, query string) (*statement, error) {
	if s := c.statements[query]; s != nil {
		if s.busy {
			return nil, nil
		}
		return s, nil
	}
	if strings.Contains(query, ";") {
		return nil, nil
	}
	if len(c.statements) >= maxStatements {
		c.forget()
	}
	parsed, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := &statement{Stmt: parsed}
	c.statements[query] = s
	return s, nil
}

// forget closes the statements that no rows keep open.
func (c *conn) forget() {
	for query, s := range c.statements {
		if !s.busy {
			s.Close() // a statement's error is that of its last run
			delete(c.statements, query)
		}
	}
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return &openRows{Rows: rows, of: s}, nil
}

// Close implements driver.Conn. Statements are closed first, as the driver asks.
func (c *conn) Close() error {
	for _, s := range c.statements {
		s.Close() // a statement's error is that of its last run
	}
	return c.sqliteConn.Close()
}

// openRows are the rows of a kept statement.
type openRows struct {
	driver.Rows
	of *statement
}

// Close implements driver.Rows. The statement can begin anew after it.
func (r *openRows) Close() error {
	r.of.busy = false
	return r.Rows.Close()
}
