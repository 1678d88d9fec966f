"""The furnished corner of the sample capture, modelled in Python and rendered by Cycles."""
