"""The parts of core.parse: nodes with positions, typed fields, expressions' names, inputs, steps."""
