"""Move everything over from the database of the older service, which is opened read-only.

`source` opens and reads it, `tables` describes its tables, `values` reads what a cell holds. `survey` looks for what
the operator has to decide first; `importer` then goes through the tables in the order of their references, each in a
module of its own. Every decision about a row is a finding of the `report`. `comparison` holds the fire times of both
services side by side.

A row that is here already is left as it is, so that an import may be broken off and run again.
"""
