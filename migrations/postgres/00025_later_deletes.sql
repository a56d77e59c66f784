-- +goose Up

-- later_deletes are the operations of requests to delete a copy that came while operation_id
-- was deleting it already: ["id", …]. They end with it.
alter table copies add column later_deletes jsonb;

-- +goose Down
alter table copies drop column later_deletes;
