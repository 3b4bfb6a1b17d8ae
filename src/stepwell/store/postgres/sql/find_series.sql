SELECT series.id, workflow, owner, name
FROM series JOIN unnest($1::text[], $2::text[], $3::text[]) AS b (workflow, owner, name) USING (workflow, owner, name)
