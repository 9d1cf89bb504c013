"""What administrators keep besides people and money: printers, prices, sites, rules, the audit."""
