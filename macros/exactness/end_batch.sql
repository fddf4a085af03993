{% macro end_batch() %}
    update {{ progress_beside(this) }}
    set
        load_seq = {{ this_batch().hi }},
        definition = {{ current_definition() }}
            || jsonb_build_object(
                'ledger', jsonb_build_object('published_at', {{ last_published(this_batch().hi) }})
            ),
        updated_at = clock_timestamp()
    where model_name = {{ dbt.string_literal(this.identifier) }}
{% endmacro %}
