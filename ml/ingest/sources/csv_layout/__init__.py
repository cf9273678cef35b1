"""What a CSV file is besides its readings: encoding, separator, header, units, comments and footer."""
