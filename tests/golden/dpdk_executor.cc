// SPDX-License-Identifier: Apache-2.0
#include "tests/golden/dpdk_executor.h"

#include <fmt/format.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <stdexcept>

#include "dataplane/dpdk/worker.h"
#include "dataplane/tables/layout.h"

namespace penstock::golden {
namespace {

constexpr uint32_t kFrames = 64;
constexpr auto kAnySocket = static_cast<unsigned>(SOCKET_ID_ANY);

// Of the process: DPDK's environment starts once.
struct Environment {
  rte_mempool* pool = nullptr;
  rte_ring* kernel = nullptr;
  rte_ring* inbox = nullptr;
  std::vector<rte_ring*> sent;  // a port
  std::vector<uint16_t> ports;
};

void must(bool good, const char* what) {
  if (!good) throw std::runtime_error(fmt::format("{}: {}", what, rte_strerror(rte_errno)));
}

rte_ring* make_ring(const std::string& name) {
  rte_ring* ring = rte_ring_create(name.c_str(), kFrames, SOCKET_ID_ANY, 0);
  must(ring, "no ring");
  return ring;
}

uint16_t start_port(rte_ring* sent, const std::string& name, rte_mempool* pool) {
  const int port = rte_eth_from_rings(name.c_str(), &sent, 1, &sent, 1, 0);
  must(port >= 0, "no port of rings");
  const auto id = static_cast<uint16_t>(port);
  const rte_eth_conf conf{};
  must(rte_eth_dev_configure(id, 1, 1, &conf) == 0 &&
           rte_eth_rx_queue_setup(id, 0, 64, kAnySocket, nullptr, pool) == 0 &&
           rte_eth_tx_queue_setup(id, 0, 64, kAnySocket, nullptr) == 0 &&
           rte_eth_dev_start(id) == 0,
       "a port of rings does not start");
  return id;
}

Environment start_environment() {
  std::vector<std::string> words{"golden",
                                 "--no-huge",
                                 "--no-pci",
                                 "-m",
                                 "64",
                                 "--no-telemetry",
                                 "--lcores",
                                 "0@(0-1023)",
                                 "--log-level",
                                 "4",
                                 "--file-prefix",
                                 fmt::format("psg{}", getpid())};
  words[7] = fmt::format("0@(0-{})", sysconf(_SC_NPROCESSORS_ONLN) - 1);
  std::vector<char*> argv;
  argv.reserve(words.size());
  for (std::string& word : words) argv.push_back(word.data());
  must(rte_eal_init(static_cast<int>(argv.size()), argv.data()) >= 0, "no environment");
  Environment made;
  made.pool =
      rte_pktmbuf_pool_create("golden", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
  must(made.pool, "no memory for frames");
  made.kernel = make_ring("kernel");
  made.inbox = make_ring("inbox");
  for (uint32_t i = 0; i < dpdk::kMaxPorts; i++) {
    made.sent.push_back(make_ring(fmt::format("sent{}", i)));
    made.ports.push_back(start_port(made.sent[i], fmt::format("port{}", i), made.pool));
  }
  return made;
}

const Environment& environment() {
  static const Environment started = start_environment();
  return started;
}

rte_mbuf* take(rte_ring* ring) {
  void* frame = nullptr;
  return rte_ring_dequeue(ring, &frame) == 0 ? static_cast<rte_mbuf*>(frame) : nullptr;
}

class DpdkExecutor : public Executor {
 public:
  explicit DpdkExecutor(const TableSizes& sizes)
      : tables_(sizes, 1), report_(std::make_unique<dpdk::ForwarderReport>()), worker_(setup()) {}

  const ps_tables& tables() const override { return tables_.tables(); }

  std::optional<Outcome> run(const Bytes& frame, uint64_t now_ns) override {
    std::vector<rte_mbuf*> buffers = in_buffers(frame);
    rte_mbuf* first = buffers.front();
    rte_pktmbuf_refcnt_update(first, 1);  // what is dropped is to be looked at, too
    worker_.forward(&first, 1, kIngress - 1, ticks_of(now_ns));
    worker_.flush();
    Outcome outcome = outcome_of(first);
    outcome.bytes.resize(rte_pktmbuf_pkt_len(first));
    const auto* whole = static_cast<const uint8_t*>(
        rte_pktmbuf_read(first, 0, rte_pktmbuf_pkt_len(first), outcome.bytes.data()));
    if (whole != outcome.bytes.data()) {
      std::copy_n(whole, outcome.bytes.size(), outcome.bytes.begin());
    }
    for (rte_mbuf* buffer : buffers) rte_pktmbuf_free_seg(buffer);
    return outcome;
  }

 private:
  // One, or as many as a NIC would need.
  static std::vector<rte_mbuf*> in_buffers(const Bytes& frame) {
    std::vector<rte_mbuf*> buffers;
    size_t done = 0;
    do {
      rte_mbuf* buffer = rte_pktmbuf_alloc(environment().pool);
      must(buffer, "no frame is left");
      const size_t bytes = std::min<size_t>(frame.size() - done, rte_pktmbuf_tailroom(buffer));
      const auto part = std::span(frame).subspan(done, bytes);
      std::copy(part.begin(), part.end(), rte_pktmbuf_append(buffer, static_cast<uint16_t>(bytes)));
      if (!buffers.empty()) must(rte_pktmbuf_chain(buffers.front(), buffer) == 0, "no chain");
      buffers.push_back(buffer);
      done += bytes;
    } while (done < frame.size());
    return buffers;
  }

  // Where the frame went; it is let go there.
  static Outcome outcome_of(const rte_mbuf* frame) {
    Outcome outcome;
    outcome.action = PS_DROP;
    for (uint32_t place = 0; place < dpdk::kMaxPorts; place++) {
      rte_mbuf* sent = take(environment().sent[place]);
      if (!sent) continue;
      must(sent == frame, "another frame was sent");
      outcome.action = PS_TRANSMIT;
      outcome.interface_index = place + 1;
      rte_pktmbuf_free(sent);
    }
    if (rte_mbuf* passed = take(environment().kernel)) {
      outcome.action = PS_PASS;
      rte_pktmbuf_free(passed);
    }
    return outcome;
  }

  // A port for each interface that the cases name: 1 to kMaxPorts.
  dpdk::WorkerSetup setup() {
    dpdk::WorkerSetup setup;
    setup.tables = &tables_.tables();
    setup.report = report_.get();
    setup.inbox = environment().inbox;
    for (uint32_t i = 0; i < dpdk::kMaxPorts; i++) {
      setup.exits.push_back({i + 1, environment().ports[i], 0, nullptr, environment().kernel});
    }
    return setup;
  }

  AnonymousTables tables_;
  std::unique_ptr<dpdk::ForwarderReport> report_;
  dpdk::Worker worker_;
};

}  // namespace

Result<std::unique_ptr<Executor>> open_dpdk(const TableSizes& sizes) {
  return std::make_unique<DpdkExecutor>(sizes);
}

}  // namespace penstock::golden
