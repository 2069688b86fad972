"""How a request fits a machine: costs from the architecture, what runs measured, the plan."""
