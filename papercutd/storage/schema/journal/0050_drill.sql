-- Whether a drill is under way is told by its records: the newest is looked up at each start.
-- In a text of a record these quotes would be escaped.
CREATE INDEX @journal_drill ON journal (number) WHERE instr(body, '"kind":"drill-') > 0;
