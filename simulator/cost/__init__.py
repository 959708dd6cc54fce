"""What a run costs: dated prices, the arithmetic of owning and renting, the monthly bill."""
