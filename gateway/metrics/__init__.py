"""What the gateway counts and times, for Prometheus: ids and texts are in no label, and no label has many values.

`series` has the numbers and how they are read, `meters` what is hooked in where, `workers` what
keeps the numbers of several processes together.
"""
