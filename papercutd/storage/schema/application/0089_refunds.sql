-- Money asked back for a charge, and what became of it: the money itself is a transfer.
CREATE TABLE @refund (
    id INTEGER PRIMARY KEY,
    charge_id TEXT NOT NULL REFERENCES charge (charge_id),
    amount_e4 INTEGER NOT NULL CHECK (amount_e4 > 0),
    words TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    asked_at REAL NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('asked', 'approved', 'rejected')),
    granted_e4 INTEGER NOT NULL DEFAULT 0 CHECK (granted_e4 BETWEEN 0 AND amount_e4),
    answer TEXT NOT NULL DEFAULT '',
    answered_at REAL
) STRICT;
CREATE INDEX @refund_charge ON refund (charge_id);
-- One question at a time about a charge.
CREATE UNIQUE INDEX @refund_asked ON refund (charge_id) WHERE state = 'asked';

-- Charges, or parts of them, that nobody is to pay any more.
CREATE TABLE @written_off (
    charge_id TEXT PRIMARY KEY REFERENCES charge (charge_id),
    amount_e4 INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at REAL NOT NULL
) STRICT, WITHOUT ROWID;
