{% macro with_changes(stored, changes, columns, key) %}
    select
        {% for column in columns %}stored.{{ column }}{{ ',' if not loop.last }}
        {% endfor %}
    from {{ stored }} as stored
    where not exists (
        select 1
        from {{ changes }} as changes
        where {{ same_key('stored', 'changes', key) }}
    )

    union all

    select
        {% for column in columns %}changes.{{ column }}{{ ',' if not loop.last }}
        {% endfor %}
    from {{ changes }} as changes
    where not changes.is_removed
{% endmacro %}
