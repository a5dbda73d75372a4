"""From a trial's log to numbers: lines, filters, the curve."""
