#!/bin/sh
lava-send server-ready server-ip=10.0.0.1 port=5001 note="two words"
lava-wait-all client-done client
echo "client-said=$(cut -d = -f 2 < "$LAVA_MULTI_NODE_CACHE")"
