#!/bin/sh
lava-wait server-ready
server=$(grep server-ip "$LAVA_MULTI_NODE_CACHE" | cut -d = -f 2)
echo "server-ip=$server cache=$(tr '\n' ' ' < "$LAVA_MULTI_NODE_CACHE")"
lava-send client-done status=pass
