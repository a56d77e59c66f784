package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"

	"casgate/index/pgindex"
)

// serverVariable names the server, as scripts/services sets it.
const serverVariable = "CAS_TEST_DATABASE_URL"

type postgres struct {
	*pgindex.Index
	server, url, name string
}

func openPostgres(ctx context.Context) (subject, error) {
	server := os.Getenv(serverVariable)
	u, err := url.Parse(server)
	if server == "" || err != nil {
		return nil, fmt.Errorf("%s is not the URL of a server; run this by scripts/services run", serverVariable)
	}
	p := &postgres{server: server, name: "casgate_size_" + strings.ToLower(rand.Text()[:8])}
	if err := p.exec(ctx, server, "create database "+p.name); err != nil {
		return nil, err
	}
	u.Path = "/" + p.name
	p.url = u.String()
	if p.Index, err = pgindex.Open(ctx, pgindex.Options{URL: p.url}); err == nil {
		err = p.Migrate(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, p.remove())
	}
	return p, nil
}

// exec runs statements on a connection of their own.
func (p *postgres) exec(ctx context.Context, url string, statements ...string) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(context.WithoutCancel(ctx))
	for _, statement := range statements {
		if _, err := c.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%.60s: %w", statement, err)
		}
	}
	return nil
}

func (p *postgres) fill(ctx context.Context, n counts) error {
	return p.exec(ctx, p.url,
		"set synchronous_commit = off",
		// One after the other in time, as uploads come, and in no order of their digests.
		fmt.Sprintf(`insert into blobs (digest, size, media_type, name, generation, state, commit_id, files, created_at, touched_at)
			select sha256(int8send(i)), 1048576 + i, 'application/pdf', 'document-' || i || '.pdf', 0, 'live', i, case when i <= %d then 1 else 0 end, t, t
			from generate_series(1::bigint, %d) i, lateral (select now() - interval '400 days' + i * interval '1 second' / 100 as t) x`, n.files, n.blobs),
		fmt.Sprintf(`insert into files (id, digest, size, name, media_type, purpose, context, tags, metadata, created_at)
			select 'file-' || substr(encode(sha256(int8send(-i)), 'hex'), 1, 26), sha256(int8send(i)), 1048576 + i, 'document-' || i || '.pdf', 'application/pdf', 'user_data', '', '{}', '{}',
				now() - interval '400 days' + i * interval '1 second' / 100
			from generate_series(1::bigint, %d) i`, n.files),
		fmt.Sprintf(`insert into copies (digest, provider, account, purpose, extension, state, fence, file_id, remote_name, name, media_type, size, operation_id, ready_at)
			select sha256(int8send(i)), 'kimi', 'key-0123456789abcdef', 'file-extract', '.pdf', 'ready', 1, 'file-' || substr(encode(sha256(int8send(-i)), 'hex'), 1, 26),
				'cas0123456789-0123456789abcdef-1-abcd.pdf', 'document-' || i || '.pdf', 'application/pdf', 1048576 + i, gen_random_uuid()::text, now()
			from generate_series(1::bigint, %d) i`, n.copies),
		"vacuum analyze", "checkpoint")
}

func (p *postgres) sizes(ctx context.Context) ([]tableSize, error) {
	c, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return nil, err
	}
	defer c.Close(context.WithoutCancel(ctx))
	var all []tableSize
	for _, table := range []string{"blobs", "files", "copies"} {
		s := tableSize{table: table}
		err := c.QueryRow(ctx, `select pg_table_size($1::regclass), pg_indexes_size($1::regclass), (select reltuples::bigint from pg_class where oid = $1::regclass)`, table).
			Scan(&s.rowBytes, &s.indexBytes, &s.rows)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func (p *postgres) remove() error {
	if p.Index != nil {
		p.Close()
	}
	return p.exec(context.Background(), p.server, "drop database "+p.name+" with (force)")
}
