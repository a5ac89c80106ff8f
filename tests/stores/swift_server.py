#!/usr/bin/env python3
"""OpenStack Swift with its S3 interface, as small as it gets: one process, one copy of everything.

    swift_server.py FOLDER PORT SECRET

The user is test:tester. Needs Debian's python3-swift; the folder must bear user xattrs.
"""
import eventlet
eventlet.monkey_patch()

import os
import sys

from swift.common import utils
from swift.common.ring import RingBuilder
from swift.common.wsgi import loadapp

folder, port, secret = os.path.abspath(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
os.makedirs(os.path.join(folder, "devices", "d1"))


def write(name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text)
    return path


write("swift.conf", """
[swift-hash]
swift_hash_path_suffix = holdfast
[storage-policy:0]
name = gold
default = yes
""")
default = """
[DEFAULT]
swift_dir = %s
devices = %s/devices
mount_check = false
fallocate_reserve = 0
disable_fallocate = true
recon_cache_path = %s
""" % (folder, folder, folder)
backend = default + """
[pipeline:main]
pipeline = server
[app:server]
use = egg:swift#%s
"""
proxy = default + """
[pipeline:main]
pipeline = catch_errors cache s3api tempauth slo proxy-server
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = %s .admin
[filter:slo]
use = egg:swift#slo
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
""" % secret

utils.set_swift_dir(folder)
utils.validate_configuration()
for kind in ("account", "container", "object"):
    listener = eventlet.listen(("127.0.0.1", 0))
    ring = RingBuilder(1, 1, 0)
    ring.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1, "ip": "127.0.0.1",
                  "port": listener.getsockname()[1], "device": "d1"})
    ring.rebalance()
    ring.get_ring().save(os.path.join(folder, kind + ".ring.gz"))
    app = loadapp(write(kind + "-server.conf", backend % kind))
    eventlet.spawn(eventlet.wsgi.server, listener, app, log_output=False)
app = loadapp(write("proxy-server.conf", proxy))
eventlet.wsgi.server(eventlet.listen(("127.0.0.1", port)), app, log=sys.stdout)
