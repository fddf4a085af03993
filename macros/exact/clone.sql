{% macro can_clone_table() -%}
    {%- for progress in _earlier_marks() -%}
        {%- do exceptions.raise_compiler_error(
            "Schema " ~ progress.schema ~ " is one of an earlier version of this project; nothing was changed."
            ~ " Bring it up to date first: dbt seed"
        ) -%}
    {%- endfor -%}
    {%- if is_on_cluster() -%}
        {%- do exceptions.raise_compiler_error(
            "On a cluster a clone would be a copy through the coordinator; nothing was changed. Build the schema instead: dbt build"
        ) -%}
    {%- endif -%}
    {%- if _is_stored(model) and not load_cached_relation(defer_relation) -%}
        {%- do exceptions.raise_compiler_error(
            "There is no table " ~ defer_relation ~ " to clone. Build it first, or leave " ~ model.name ~ " out"
        ) -%}
    {%- endif -%}
    {{ return(true) }}
{%- endmacro %}


{% macro create_or_replace_clone(this_relation, defer_relation) %}
    {#-
        PostgreSQL has no clones that cost nothing; dbt would make a view instead, and the first run
        on it a full refresh. A copy with its mark is as good as the original: the next run goes on from
        there. Rows and mark are read by one statement, so that they fit.
    -#}
    {%- set progress = progress_beside(this_relation) -%}
    {%- set is_stored = _is_stored(model) -%}
    {%- if is_stored -%}
        {%- call statement('progress', auto_begin=false) -%}
            commit;
            {{ _create_progress_table(progress) }}
            commit
        {%- endcall -%}
    {%- endif -%}
    {%- call statement('copy', auto_begin=true) -%}
        drop table if exists {{ this_relation }} cascade;
        create table {{ this_relation }} (like {{ defer_relation }} including all);
        with

        copied as (
            insert into {{ this_relation }} select * from {{ defer_relation }}
        )
        {% if is_stored %}
        insert into {{ progress }} (model_name, load_seq, definition, updated_at)
        select
            {{ dbt.string_literal(this_relation.identifier) }},
            progress.load_seq,
            progress.definition,
            clock_timestamp()
        from {{ mark_of(defer_relation) }}
        on conflict (model_name) do update set
            load_seq = excluded.load_seq,
            definition = excluded.definition,
            updated_at = excluded.updated_at
        {% else %}
        select 1
        {% endif %};
        analyze {{ this_relation }}
    {%- endcall -%}
    {%- do apply_grants(this_relation, config.get('grants'), should_revoke=false) -%}
    {%- do persist_docs(this_relation, model) -%}
    {#- dbt, which knows no clones here, would take all of it back. -#}
    commit
{% endmacro %}
