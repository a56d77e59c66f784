package sqliteindex

import "context"

// ExecWriter runs a statement on the writer's connection.
func (x *Index) ExecWriter(ctx context.Context, statement string) error {
	_, err := x.writer.ExecContext(ctx, statement)
	return err
}
