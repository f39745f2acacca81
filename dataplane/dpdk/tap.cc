// SPDX-License-Identifier: Apache-2.0
// Linux's Documentation/networking/tuntap.rst.
#include "dataplane/dpdk/tap.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <cerrno>

namespace penstock::dpdk {

Result<Tap> Tap::open(const std::string& interface) {
  const std::string made = fmt::format("`ip tuntap add {} mode tap multi_queue`", interface);
  if (if_nametoindex(interface.c_str()) == 0) {
    return fail(
        ErrorKind::kNotFound,
        fmt::format("there is no interface {} to stand for the NIC: make it with {}, give it "
                    "the NIC's MAC and addresses",
                    interface, made));
  }
  Fd fd(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return fail_errno("cannot open /dev/net/tun (modprobe tun)", errno);
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE;
  if (ioctl(fd.get(), TUNSETIFF, &request) == 0) return Tap(std::move(fd));
  return fail_errno(
      fmt::format("{} is no TAP of several queues, as is to stand for a NIC on the bus: {}",
                  interface, made),
      errno);
}

Result<Tap> Tap::hold(const std::string& interface) {
  auto tap = open(interface);
  if (!tap) return tap;
  ifreq request{};
  request.ifr_flags = IFF_DETACH_QUEUE;
  if (ioctl(tap->fd_.get(), TUNSETQUEUE, &request) == 0) return tap;
  return fail_errno(fmt::format("cannot hold {}", interface), errno);
}

size_t Tap::read(std::span<uint8_t> room) const {
  const ssize_t bytes = ::read(fd_.get(), room.data(), room.size());
  return bytes > 0 ? static_cast<size_t>(bytes) : 0;
}

bool Tap::write(std::span<const uint8_t> frame) const {
  return ::write(fd_.get(), frame.data(), frame.size()) == static_cast<ssize_t>(frame.size());
}

}  // namespace penstock::dpdk
