{% macro fixed_views(relation) -%}
    select
        views.oid::regclass::text as view_name,
        pg_catalog.pg_get_userbyid(views.relowner) as owner_name
    from ({{ dependent_views(relation) | indent(4) }}) as dependent_views
    inner join pg_catalog.pg_class as views on dependent_views.view_id = views.oid
    where views.relkind = 'm' or not pg_catalog.pg_has_role(views.relowner, 'usage')
{%- endmacro %}
