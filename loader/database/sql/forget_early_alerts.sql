delete from raw.early_alerts
where passed_on_at < %(now)s - %(age)s::interval
