-- +goose Up

-- The functions that keep copy_totals work with the rights of the table's owner. Nobody else may
-- attach them to a table of his own, and so change the totals. The triggers need no such right.
revoke execute on function count_copies(), recount_copy() from public;

-- The owner calls copy_files in them, also where functions are not everyone's by default.
-- +goose StatementBegin
do $$
declare
    owner text := (select relowner::regrole::text from pg_class where oid = 'copies'::regclass);
begin
    execute format('grant execute on function count_copies(), recount_copy(), copy_files(text, text, jsonb) to %s', owner);
end
$$;
-- +goose StatementEnd

-- +goose Down
grant execute on function count_copies(), recount_copy() to public;
