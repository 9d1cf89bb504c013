-- What the replica does not contain yet, whoever pays it: the total of a site.
CREATE INDEX @decision_number ON decision (number) WHERE state = 'settled';
