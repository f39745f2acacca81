// SPDX-License-Identifier: Apache-2.0
#include "dataplane/dpdk/ports.h"

#include <fmt/format.h>
#include <net/if.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "dataplane/af_xdp/socket.h"
#include "dataplane/af_xdp/steering.h"
#include "dataplane/fd.h"

namespace penstock::dpdk {
namespace {

// What reaches a NIC's memory by DPDK: cached by a worker, on its way in rings, in queues.
constexpr uint32_t kMbufsInRings = 8192;
constexpr uint32_t kMbufCache = 256;
constexpr auto kAnySocket = static_cast<unsigned>(SOCKET_ID_ANY);
constexpr uint32_t kMostBytesInABuffer =
    2000;  // of an IP packet, with its Ethernet header and tags
// AF_XDP's driver keeps this many in its own rings, whatever the queue's descriptors.
constexpr uint32_t kAfXdpDescriptors = 4096;

bool is_af_xdp(const PortOptions& port) {
  return port.device == kAfXdp;
}

bool is_virtual(const PortOptions& port) {
  return port.device.rfind("net_", 0) == 0;
}

std::string vdev_name(const PortOptions& port) {
  if (is_virtual(port)) return port.device.substr(0, port.device.find(','));
  return fmt::format("net_af_xdp_{}", port.interface);
}

std::string device_name(const PortOptions& port) {
  return is_af_xdp(port) || is_virtual(port) ? vdev_name(port) : port.device;
}

// A worker is lcore 1 and so on; lcore 0 is the thread that starts them, on any processor.
std::string lcores(const std::vector<uint32_t>& cpus) {
  std::string text = fmt::format("0@(0-{})", std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)) - 1);
  for (size_t i = 0; i < cpus.size(); i++) text += fmt::format(",{}@{}", i + 1, cpus[i]);
  return text;
}

std::vector<std::string> environment_arguments(const ForwarderOptions& options,
                                               const std::string& steering_object) {
  std::vector<std::string> words{"penstock-dpdk",
                                 "--lcores",
                                 lcores(options.cpus),
                                 "--no-telemetry",
                                 "--file-prefix",
                                 fmt::format("ps{}", getpid()),
                                 "-m",
                                 std::to_string(options.memory_mb),
                                 "--log-level",
                                 "4"};
  words.emplace_back(options.hugepages ? "--in-memory" : "--no-huge");
  bool has_pci = false;
  for (const PortOptions& port : options.ports) {
    if (is_af_xdp(port)) {
      words.push_back(fmt::format("--vdev={},iface={},start_queue=0,queue_count={},xdp_prog={}",
                                  vdev_name(port), port.interface, receive_queues(port.interface),
                                  steering_object));
    } else if (is_virtual(port)) {
      words.push_back("--vdev=" + port.device);
    } else {
      words.insert(words.end(), {"-a", port.device});
      has_pci = true;
    }
  }
  if (!has_pci) words.emplace_back("--no-pci");
  words.insert(words.end(), options.eal.begin(), options.eal.end());
  return words;
}

tl::unexpected<Error> refused(const PortOptions& port, const char* what, int code) {
  return fail_errno(fmt::format("{} ({}): {}", port.interface, port.device, what), -code);
}

tl::unexpected<Error> refused_socket(const PortOptions& port, uint16_t queue, int code) {
  const int why = socket_refusal();
  if (why == EBUSY) {
    return fail(
        ErrorKind::kConflict,
        fmt::format("{} ({}): another program's AF_XDP socket has receive queue {}: end that "
                    "program, or leave the interface to it",
                    port.interface, port.device, queue));
  }
  return refused(port,
                 "takes no AF_XDP socket (`penstock check` tells what is in the way of native XDP)",
                 why ? -why : code);
}

// Of the kernel's interface: of a NIC on the bus the TAP that stands for it.
struct KernelSide {
  rte_ether_addr mac{};
  uint32_t mtu = 0;
};

KernelSide kernel_side(const std::string& interface) {
  const Fd socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  KernelSide side;
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  if (ioctl(socket_fd.get(), SIOCGIFMTU, &request) == 0) {
    side.mtu = static_cast<uint32_t>(request.ifr_mtu);
  }
  if (ioctl(socket_fd.get(), SIOCGIFHWADDR, &request) == 0) {
    std::memcpy(side.mac.addr_bytes, request.ifr_hwaddr.sa_data, sizeof side.mac.addr_bytes);
  }
  return side;
}

// `one_pool`: all frames that it sends are of one pool.
rte_eth_conf configuration_for(const rte_eth_dev_info& info, uint16_t queues, uint32_t mtu,
                               bool one_pool) {
  rte_eth_conf conf{};
  if (mtu > kMostBytesInABuffer) {
    conf.rxmode.mtu = mtu;
    conf.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
    conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  }
  if (queues > 1) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf =
        info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
  }
  if (one_pool) conf.txmode.offloads |= info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
  return conf;
}

template <size_t Bytes>
void put(char (&field)[Bytes], const std::string& text) {
  const size_t bytes = std::min(text.size(), Bytes - 1);
  std::memcpy(field, text.data(), bytes);
  field[bytes] = 0;
}

void describe(const rte_eth_dev_info& info, const rte_eth_conf& conf, const Port& port,
              PortReport& report) {
  put(report.driver, info.driver_name);
  std::vector<std::string> features;
  if (conf.rxmode.mq_mode == RTE_ETH_MQ_RX_RSS) features.emplace_back("RSS");
  if (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE) features.emplace_back("fast free");
  put(report.features, fmt::format("{}", fmt::join(features, ", ")));
  report.receive_queues = port.receive_queues;
  report.transmit_queues = port.transmit_queues;
}

// What the kernel would take by its TAP, the NIC has to take: the same MAC, and all groups.
Result<void> check_stand_in(const PortOptions& options, uint16_t id) {
  if (is_af_xdp(options) || is_virtual(options)) return {};
  rte_ether_addr mac{};
  rte_eth_macaddr_get(id, &mac);
  const rte_ether_addr wanted = kernel_side(options.interface).mac;
  if (!rte_is_same_ether_addr(&mac, &wanted)) {
    std::array<char, RTE_ETHER_ADDR_FMT_SIZE> text{};
    rte_ether_format_addr(text.data(), text.size(), &mac);
    return fail(ErrorKind::kInvalid,
                fmt::format("{0} stands for the NIC {1} and needs its MAC: ip link set dev {0} "
                            "address {2}",
                            options.interface, options.device, text.data()));
  }
  rte_eth_allmulticast_enable(id);
  return {};
}

Result<void> start_queues(const PortOptions& options, const Port& port, uint16_t descriptors) {
  uint16_t receive =
      is_af_xdp(options) ? static_cast<uint16_t>(kAfXdpDescriptors / 2) : descriptors;
  uint16_t transmit = receive;
  if (int code = rte_eth_dev_adjust_nb_rx_tx_desc(port.id, &receive, &transmit)) {
    return refused(options, "cannot size the queues", code);
  }
  for (uint16_t queue = 0; queue < port.receive_queues; queue++) {
    const int code =
        rte_eth_rx_queue_setup(port.id, queue, receive, kAnySocket, nullptr, port.pool);
    if (code && is_af_xdp(options)) return refused_socket(options, queue, code);
    if (code) return refused(options, "cannot set up a receive queue", code);
  }
  for (uint16_t queue = 0; queue < port.transmit_queues; queue++) {
    const int code = rte_eth_tx_queue_setup(port.id, queue, transmit, kAnySocket, nullptr);
    if (code) return refused(options, "cannot set up a transmit queue", code);
  }
  const int code = rte_eth_dev_start(port.id);
  return code ? refused(options, "cannot start the port", code) : Result<void>{};
}

bool has_one_pool(const ForwarderOptions& options) {
  return std::none_of(options.ports.begin(), options.ports.end(), is_af_xdp);
}

Result<Port> start_port(const PortOptions& options, const ForwarderOptions& all, rte_mempool* pool,
                        PortReport& report) {
  Port port;
  port.pool = pool;
  if (rte_eth_dev_get_port_by_name(device_name(options).c_str(), &port.id) != 0) {
    return fail(
        ErrorKind::kNotFound,
        fmt::format("DPDK has no device {} for {}: bind it with configs/bind-vfio, or leave "
                    "`device` out to use the kernel's driver (AF_XDP)",
                    options.device, options.interface));
  }
  port.interface_index = if_nametoindex(options.interface.c_str());
  rte_eth_dev_info info{};
  if (int code = rte_eth_dev_info_get(port.id, &info)) {
    return refused(options, "cannot be asked", code);
  }
  // An AF_XDP port has a socket for each of the interface's queues; all of them are to be read.
  const auto wanted =
      static_cast<uint16_t>(is_af_xdp(options) ? info.max_rx_queues : all.cpus.size());
  port.receive_queues = std::min(wanted, info.max_rx_queues);
  port.transmit_queues = std::min(wanted, info.max_tx_queues);
  const uint32_t mtu = is_virtual(options) ? 0 : kernel_side(options.interface).mtu;
  const rte_eth_conf conf = configuration_for(info, port.receive_queues, mtu, has_one_pool(all));
  if (int code = rte_eth_dev_configure(port.id, port.receive_queues, port.transmit_queues, &conf)) {
    return refused(options, "cannot be configured", code);
  }
  if (auto ready = check_stand_in(options, port.id); !ready) return tl::unexpected(ready.error());
  if (auto up = start_queues(options, port, static_cast<uint16_t>(all.descriptors)); !up) {
    return tl::unexpected(up.error());
  }
  describe(info, conf, port, report);
  return port;
}

// One piece of memory in which frame follows frame, as AF_XDP's driver takes for granted: it tells
// the kernel of the pool's first piece only, and as long as its frames are without gaps. A pool as
// DPDK makes it for NICs has a gap where a frame would lie in two pages; of ordinary memory that is
// half of it, and frames beyond the end are corrupt or lost.
rte_mempool* make_seamless_pool(const std::string& name, uint32_t frames) {
  constexpr uint32_t kElementBytes = sizeof(rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE;
  rte_pktmbuf_pool_private room{};
  room.mbuf_data_room_size = RTE_MBUF_DEFAULT_BUF_SIZE;
  rte_mempool* pool =
      rte_mempool_create_empty(name.c_str(), frames, kElementBytes, kMbufCache, sizeof room,
                               SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG);
  if (!pool) return nullptr;
  rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), nullptr);
  rte_pktmbuf_pool_init(pool, &room);
  if (rte_mempool_populate_default(pool) < 0 || pool->nb_mem_chunks != 1) {
    rte_mempool_free(pool);
    rte_errno = ENOMEM;
    return nullptr;
  }
  rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);
  return pool;
}

// An AF_XDP port has a pool of its own: all of it is the socket's memory. NICs share one, by which
// a frame costs least when it has been sent.
uint32_t frames_for(const ForwarderOptions& options, const PortOptions& port) {
  const auto workers = static_cast<uint32_t>(options.cpus.size());
  const uint32_t anywhere = kMbufsInRings + workers * kMbufCache * 2;
  if (is_af_xdp(port)) return anywhere + receive_queues(port.interface) * 2 * kAfXdpDescriptors;
  const auto nics = std::count_if(options.ports.begin(), options.ports.end(),
                                  [](const PortOptions& each) { return !is_af_xdp(each); });
  return anywhere + static_cast<uint32_t>(nics) * workers * 2 * options.descriptors;
}

}  // namespace

Result<void> start_environment(const ForwarderOptions& options,
                               const std::string& steering_object) {
  static std::vector<std::string> words;  // the environment keeps pointers to them
  words = environment_arguments(options, steering_object);
  std::vector<char*> argv;
  argv.reserve(words.size());
  for (std::string& word : words) argv.push_back(word.data());
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) >= 0) return {};
  return fail(ErrorKind::kSystem,
              fmt::format("DPDK's environment does not start ({}): what it said is above; with "
                          "hugepages = true, are enough reserved (sysctl vm.nr_hugepages)?",
                          rte_strerror(rte_errno)));
}

Result<std::vector<rte_mempool*>> make_pools(const ForwarderOptions& options) {
  std::vector<rte_mempool*> pools;
  rte_mempool* of_nics = nullptr;
  for (const PortOptions& port : options.ports) {
    rte_mempool* pool = is_af_xdp(port) ? nullptr : of_nics;
    if (!pool) {
      const uint32_t frames = frames_for(options, port);
      const std::string name = fmt::format("frames{}", pools.size());
      pool = is_af_xdp(port) ? make_seamless_pool(name, frames)
                             : rte_pktmbuf_pool_create(name.c_str(), frames, kMbufCache, 0,
                                                       RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
      if (!pool) {
        return fail(ErrorKind::kSystem,
                    fmt::format("no memory for {} frames: raise dpdk.memory_mb ({})", frames,
                                rte_strerror(rte_errno)));
      }
      if (!is_af_xdp(port)) of_nics = pool;
    }
    pools.push_back(pool);
  }
  return pools;
}

Result<std::vector<Port>> start_ports(const ForwarderOptions& options,
                                      const std::vector<rte_mempool*>& pools,
                                      ForwarderReport& report) {
  std::vector<Port> ports;
  for (const PortOptions& one : options.ports) {
    PortReport& told = report.port[ports.size()];
    put(told.interface, one.interface);
    put(told.device, one.device);
    report.ports = static_cast<uint32_t>(ports.size()) + 1;  // to be cleaned up from here on
    auto port = start_port(one, options, pools[ports.size()], told);
    if (!port) {
      stop_ports(ports);
      return tl::unexpected(port.error());
    }
    ports.push_back(*port);
  }
  return ports;
}

void stop_ports(const std::vector<Port>& ports) {
  for (const Port& port : ports) {
    rte_eth_dev_stop(port.id);
    rte_eth_dev_close(port.id);
  }
}

}  // namespace penstock::dpdk
