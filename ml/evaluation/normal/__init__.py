"""What validation tells of a model of normal behaviour: its rate of alarms, its sensors, its strongest episodes."""
