"""What drove alarms, by feature and by sensor."""
