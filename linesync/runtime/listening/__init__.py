"""What only an end that listens needs: places for new connections, turns for busy peers, and a log with limits."""
