"""What becomes of a job at the application server: asked, priced, paid, explained."""
