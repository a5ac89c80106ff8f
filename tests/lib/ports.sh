# Sourced by tests that start a development cluster (scripts/dev-cluster) and run beside others.
# shellcheck shell=bash

# Prints a client port for a cluster of up to four nodes. The cluster takes this port and the next
# ones, and the same plus 1000 (log nodes), 2000 (Redis) and 3000 (Sentinel); nobody listens on any
# of them now. Each test has 3800 ports from FIRST on for itself, away from the others' and below
# those that the kernel gives to outgoing connections; two runs of one test begin to look at
# different places. So what is free now is still free when the cluster starts.
free_port() # FIRST
{
    local port=$(($1 + $$ % 200 * 4)) tries block i used
    for ((tries = 0; tries < 200; tries++)); do
        used=''
        for block in 0 1000 2000 3000; do
            for ((i = 0; i < 4; i++)); do
                (exec 3<>"/dev/tcp/127.0.0.1/$((port + block + i))") 2>/dev/null && used=yes
            done
        done
        [[ -n $used ]] || break
        port=$((port + 4 < $1 + 800 ? port + 4 : $1))
    done
    printf '%s\n' "$port"
}
