// SPDX-License-Identifier: Apache-2.0
// Where the sidecar connects to: addresses that stand for a service's backends, and that only it
// can reach them by. A client's own flow to the VIP and the sidecar's from the same address and
// port differ by them, and by the interface that they come in by (ServiceEntry.only_from).
//
// The addresses are link-local (RFC 3927) and unique local (RFC 4193): nobody routes them, and they
// are on no interface. The port is the service's id, so it stays as long as the service does.
#pragma once

#include "dataplane/dataplane.h"

namespace penstock {

// The service's backends, from the client's address: 169.254.80.1, [fd70:656e:7374::1].
Endpoint onward_endpoint(Family family, ServiceId service);

// The one that ACME challenges go to: 169.254.80.2, [fd70:656e:7374::2].
Endpoint acme_endpoint(Family family, ServiceId service);

}  // namespace penstock
