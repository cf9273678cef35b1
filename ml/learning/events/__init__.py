"""Failures and alarms: found, counted, and how far the counts could be off."""
