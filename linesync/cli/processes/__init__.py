"""Commands that start linesync's own processes."""
