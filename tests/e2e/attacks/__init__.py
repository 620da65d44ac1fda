"""Attacks by broken or hostile peers on a real hub and a real agent: the memory and the time that one peer can use up."""
