"""Results of steps, kept by what they follow from: on this disk, on servers, and by engines elsewhere."""
