"""Early alerts: found while events are loaded, written with them, passed on."""
