-- What came into an account. Charges come into the installation's own, which nobody pages through.
CREATE INDEX transfer_credit ON @transfer (credit, id) WHERE credit > 3;
