// SPDX-License-Identifier: Apache-2.0
#include "controlplane/plan/sidecar_places.h"

namespace penstock {
namespace {

Endpoint place(Family family, uint8_t which, ServiceId service) {
  IpAddress address;
  address.family = family;
  if (family == Family::kIpv4) {
    address.bytes = {169, 254, 80, which};
  } else {
    address.bytes = {0xfd, 'p', 'e', 'n', 's', 't'};
    address.bytes[15] = which;
  }
  return {address, service};
}

}  // namespace

Endpoint onward_endpoint(Family family, ServiceId service) {
  return place(family, 1, service);
}

Endpoint acme_endpoint(Family family, ServiceId service) {
  return place(family, 2, service);
}

}  // namespace penstock
