"""What the user's shell needs: completion."""
