-- What the roles may do beyond what is theirs. The marts are granted by dbt, which makes them anew.
grant connect on database {database} to {loader}, {reader};
-- Developers have target schemas of their own, and incremental models work in temporary tables.
grant connect, create, temporary on database {database} to {transformer};

grant usage on schema raw to {transformer};
grant select on all tables in schema raw to {transformer};
alter default privileges for role {loader} in schema raw grant select on tables to {transformer};

-- The loader looks up, in the one table that dbt grants it, what the models have taken note of.
grant usage on schema {schema} to {loader}, {reader};
