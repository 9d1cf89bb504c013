-- Whether a drill is under way is told by its records: the newest is looked up at each start.
CREATE INDEX @journal_drill ON journal (number) WHERE substr(body, 1, 15) = '{"kind":"drill-';
