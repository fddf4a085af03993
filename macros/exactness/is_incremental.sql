{% macro is_incremental() %}
    {#-
        `dbt show`, `dbt compile` and `dbt docs` begin no batch: without one, a stored model would be merged
        with the loads that it holds already.
    -#}
    {{ return((flags.WHICH in ['run', 'build'] or not is_stored(model)) and dbt.is_incremental()) }}
{% endmacro %}
