-- Of a charge: the shared account that it is only named for (whoever pays), and whether it is to be
-- invoiced to the shared account that pays or is named. Null: there is none, or it was charged
-- before there was this.
ALTER TABLE @charge ADD COLUMN named BIGINT;
ALTER TABLE @charge ADD COLUMN invoice BIGINT;
-- Most charges are of no shared account: they pay nothing for it.
CREATE INDEX charge_invoice ON @charge (received_at) WHERE invoice IS NOT NULL;
