"""A published model held against what happened since: answers of operators, failures, drift; and when it is due."""
