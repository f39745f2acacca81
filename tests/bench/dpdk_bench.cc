// SPDX-License-Identifier: Apache-2.0
// What penstock's DPDK worker forwards on one processor, beside DPDK's own macswap, by turns in the
// same run: Mpps, ns and cycles per packet and their ratio, medians of rounds and their spread;
// both families, with 1 k and 1 M flows in the table. Needs root and DPDK's testpmd (package
// dpdk-dev). Prints, judges nothing.
//
//   dpdk_bench [--small-pages] [WORD...]    only the scenarios whose names hold all the words
//
// Two sources, for neither tells all:
//   pcap  A file of 100,000 frames (1,000 with 1 k flows), which DPDK's pcap driver repeats, into
//         dpdk-testpmd and into the worker, each in a process of its own. All is real, from the
//         polling of the port on; but the driver copies every frame into an mbuf that was just
//         freed, so frames are always warm, and that copy is in both figures.
//   ring  131,072 mbufs in no order of memory, to the worker's forward() and to a macswap of our
//         own. Before each time round every frame is written anew, which is not timed: there is
//         nothing to subtract. What is timed is what cold_ring.h says. Neither side pays for a
//         NIC's descriptors.
// The ring's smallest cost (mbufs written and sent, no frame touched) is printed by itself.
//
// Time is the forwarding thread's own processor time: others on the machine are not counted, but
// what they do to its caches is.
#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/bench/cold_ring.h"
#include "tests/bench/forwarder.h"
#include "tests/bench/large_pages.h"
#include "tests/bench/live_flows.h"
#include "tests/bench/testpmd.h"

namespace penstock::bench {
namespace {

namespace fs = std::filesystem;

constexpr int kRounds = 15;
constexpr auto kAnySocket = static_cast<unsigned>(SOCKET_ID_ANY);
constexpr auto kRound = std::chrono::milliseconds(300);
constexpr uint32_t kBurst = 32;               // testpmd's default, and ours
constexpr uint32_t kFlowsOfSource = 100'000;  // a frame of each
constexpr uint32_t kMbufsOnTheWay = 8192;
constexpr uint64_t kLargePages = 640;  // of 2 MB: three times 131,072 mbufs, and queues

struct Options {
  bool large_pages = true;
  std::vector<std::string> words;
};

std::string name_of(const Traffic& traffic) {
  const char* direction = traffic.mode != Mode::kNat ? ""
                          : traffic.to_client        ? ", to client"
                                                     : ", to backend";
  return fmt::format("{:5} {:>8} {:16}", to_string(traffic.family), traffic.flows,
                     to_string(traffic.mode) + direction);
}

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// ns per packet of the rounds.
class Series {
 public:
  void add(const Sample& sample) {
    ns_.push_back(static_cast<double>(sample.ns) / static_cast<double>(sample.packets));
  }
  std::string text() const {
    const double median = median_of(ns_);
    const double cycles = median * static_cast<double>(rte_get_tsc_hz()) / 1e9;
    const auto [least, most] = std::minmax_element(ns_.begin(), ns_.end());
    return fmt::format("{:7.2f} {:6.1f} {:6.0f} {:>13}", 1e3 / median, median, cycles,
                       fmt::format("{:.1f}-{:.1f}", *least, *most));
  }
  // Of the other's packets per second, round by round: what slows both for a while is in both.
  double ratio_to(const Series& other) const {
    std::vector<double> ratios;
    for (size_t i = 0; i < ns_.size(); i++) ratios.push_back(other.ns_[i] / ns_[i]);
    return median_of(ratios);
  }

 private:
  std::vector<double> ns_;
};

void print(const Traffic& traffic, const char* source, uint32_t burst, const Series& macswap,
           const Series& ours, const std::string& remark) {
  fmt::print("{} {:4} {:5} {} {} {:6.2f}{}\n", name_of(traffic), source, burst, macswap.text(),
             ours.text(), ours.ratio_to(macswap), remark);
  std::fflush(stdout);
}

void write_pcap(const std::string& path, const std::vector<Frame>& frames) {
  std::ofstream file(path, std::ios::binary);
  const auto put = [&](const auto& value) {
    file.write(reinterpret_cast<const char*>(&value), sizeof value);
  };
  // Magic, version 2.4, time zone, accuracy, longest frame, Ethernet.
  put(std::array<uint32_t, 6>{0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535, 1});
  for (const Frame& frame : frames) {
    put(std::array<uint32_t, 4>{0, 0, frame.size, frame.size});
    file.write(reinterpret_cast<const char*>(frame.bytes.data()), frame.size);
  }
  must(static_cast<bool>(file.flush()), "cannot write the pcap file");
}

// The same for testpmd and for us, but for the name.
std::vector<std::string> environment_arguments(const std::string& pcap, const char* name) {
  return {"-l",
          "0,1",
          "--in-memory",
          "--no-pci",
          "--no-telemetry",
          "--iova-mode=va",
          "--log-level=4",
          fmt::format("--file-prefix={}{}", name, getpid()),
          fmt::format("--vdev=net_pcap0,rx_pcap={},infinite_rx=1", pcap)};
}

std::vector<std::string> testpmd_arguments(const std::string& pcap) {
  std::vector<std::string> words = environment_arguments(pcap, "psbt");
  words.insert(
      words.end(),
      {"--", "-i", "--forward-mode=macswap", "--nb-cores=1", fmt::format("--burst={}", kBurst),
       fmt::format("--total-num-mbufs={}", ColdRing::kFrames + kMbufsOnTheWay)});
  return words;
}

void start_environment(const std::string& pcap) {
  static std::vector<std::string> words;  // the environment keeps pointers to them
  words = environment_arguments(pcap, "psb");
  words.insert(words.begin(), "dpdk_bench");
  std::vector<char*> argv;
  argv.reserve(words.size());
  for (std::string& word : words) argv.push_back(word.data());
  must(rte_eal_init(static_cast<int>(argv.size()), argv.data()) >= 0, "no DPDK environment");
}

rte_mempool* make_pool(const char* name, uint32_t mbufs) {
  rte_mempool* pool =
      rte_pktmbuf_pool_create(name, mbufs, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
  must(pool, "no memory for mbufs");
  return pool;
}

void start_port(uint16_t port, rte_mempool* pool) {
  const rte_eth_conf conf{};
  must(rte_eth_dev_configure(port, 1, 1, &conf) == 0 &&
           rte_eth_rx_queue_setup(port, 0, 512, kAnySocket, nullptr, pool) == 0 &&
           rte_eth_tx_queue_setup(port, 0, 512, kAnySocket, nullptr) == 0 &&
           rte_eth_dev_start(port) == 0,
       "the pcap port does not start");
}

uint64_t transmitted_by(uint16_t port) {
  rte_eth_stats stats{};
  rte_eth_stats_get(port, &stats);
  return stats.opackets;
}

void from_pcap(const Traffic& traffic, Testpmd& testpmd, Forwarder& forwarder, uint16_t port) {
  Series macswap;
  Series ours;
  for (int round = 0; round < kRounds; round++) {
    macswap.add(testpmd.forward(kRound));
    ours.add(forwarder.forward(kRound));
  }
  print(traffic, "pcap", kBurst, macswap, ours,
        forwarder.remark(forwarder.packets(), transmitted_by(port)));
}

// The middle one of as many times round as a round takes.
Sample middle(const std::function<Sample()>& once_round) {
  std::vector<Sample> samples;
  const auto until = std::chrono::steady_clock::now() + kRound;
  while (std::chrono::steady_clock::now() < until) samples.push_back(once_round());
  const auto at = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), at, samples.end(),
                   [](const Sample& a, const Sample& b) { return a.ns < b.ns; });
  return *at;
}

void in_ring(const Traffic& traffic, ColdRing& ring, Forwarder& forwarder, uint32_t burst) {
  Series macswap;
  Series ours;
  uint64_t walked = 0;
  uint64_t sent = 0;
  on_lcore([&] {
    for (int round = 0; round < kRounds; round++) {
      macswap.add(middle([&] { return ring.macswap(burst); }));
      const uint64_t before = transmitted();
      ours.add(middle([&] {
        walked += ColdRing::kFrames;
        return ring.walk(forwarder.worker(), burst);
      }));
      sent += transmitted() - before;
    }
  });
  print(traffic, "ring", burst, macswap, ours, forwarder.remark(walked, sent));
}

void print_least(const Traffic& traffic, ColdRing& ring) {
  Series nothing;
  on_lcore([&] {
    for (int round = 0; round < kRounds; round++) {
      nothing.add(middle([&] { return ring.nothing(kBurst); }));
    }
  });
  fmt::print("{} {:4} {:5} {}  (no frame touched)\n", name_of(traffic), "ring", kBurst,
             nothing.text());
}

// In a process of its own: DPDK's environment starts once in one.
void measure(const Traffic& traffic, const Options& options, const std::string& directory) {
  LiveFlows live(traffic, options.large_pages);
  if (live.established() + traffic.flows / 1000 < traffic.flows) {
    fmt::print("only {} of {} flows are established\n", live.established(), traffic.flows);
  }
  const std::vector<Frame> frames = live.frames(kFlowsOfSource);
  const std::string pcap = directory + "/frames.pcap";
  write_pcap(pcap, frames);
  Testpmd testpmd(testpmd_arguments(pcap));
  start_environment(pcap);
  start_port(0, make_pool("source", ColdRing::kFrames + kMbufsOnTheWay));
  rte_ring* inbox = rte_ring_create("inbox", 64, SOCKET_ID_ANY, RING_F_SC_DEQ);
  must(inbox, "no ring");
  Forwarder forwarder(live.tables(), 0, inbox, kBurst);
  from_pcap(traffic, testpmd, forwarder, 0);

  ColdRing ring(make_pool("ring", ColdRing::kFrames), frames);
  keep_transmitted(0);
  print_least(traffic, ring);
  std::vector<uint32_t> bursts{kBurst};
  if (traffic.mode == Mode::kNat && !traffic.to_client) bursts = {1, 8, 32, 64};
  for (const uint32_t burst : bursts) {
    Forwarder of_burst(live.tables(), 0, inbox, burst);
    in_ring(traffic, ring, of_burst, burst);
  }
}

volatile sig_atomic_t stopped = 0;

bool measure_apart(const Traffic& traffic, const Options& options, const std::string& directory) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (const int signal : {SIGINT, SIGTERM}) ::signal(signal, SIG_DFL);
    try {
      measure(traffic, options, directory);
    } catch (const std::exception& failure) {
      fmt::print(stderr, "dpdk_bench: {}\n", failure.what());
      _exit(1);
    }
    std::fflush(stdout);
    _exit(0);
  }
  int status = -1;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) kill(child, SIGKILL);
  return status == 0 && !stopped;
}

std::vector<Traffic> scenarios(const std::vector<std::string>& words) {
  std::vector<Traffic> found;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    for (const uint32_t flows : {1'000u, 1'000'000u}) {
      for (const auto& [mode, to_client] :
           {std::pair{Mode::kDsr, false}, std::pair{Mode::kTunnel, false},
            std::pair{Mode::kDnat, false}, std::pair{Mode::kNat, false},
            std::pair{Mode::kNat, true}}) {
        const Traffic traffic{family, flows, mode, to_client};
        const std::string name = name_of(traffic);
        if (std::all_of(words.begin(), words.end(), [&](const std::string& word) {
              return name.find(word) != std::string::npos;
            })) {
          found.push_back(traffic);
        }
      }
    }
  }
  return found;
}

struct TemporaryDirectory {
  TemporaryDirectory() { must(mkdtemp(path.data()), "no temporary directory"); }
  ~TemporaryDirectory() { fs::remove_all(path); }
  std::string path = (fs::temp_directory_path() / "dpdk_bench.XXXXXX").string();
};

bool run(const Options& options) {
  const TemporaryDirectory directory;
  const LargePages pages(kLargePages);
  fmt::print("{:31} {:4} {:>5} {:>35} {:>35}\n{:42} ", "", "", "", "macswap", "penstock", "");
  for (int side = 0; side < 2; side++) {
    fmt::print("{:>7} {:>6} {:>6} {:>13} ", "Mpps", "ns", "cycles", "ns, spread");
  }
  fmt::print("{:>6}\n", "ratio");
  for (const Traffic& traffic : scenarios(options.words)) {
    if (!measure_apart(traffic, options, directory.path)) return false;
  }
  return true;
}

}  // namespace
}  // namespace penstock::bench

int main(int argc, char** argv) {
  struct sigaction stop {};  // without SA_RESTART: it is to end the waiting
  stop.sa_handler = [](int) { penstock::bench::stopped = 1; };
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &stop, nullptr);
  penstock::bench::Options options;
  for (const char* word : std::vector<const char*>(argv + 1, argv + argc)) {
    if (std::string(word) == "--small-pages") {
      options.large_pages = false;
    } else {
      options.words.emplace_back(word);
    }
  }
  try {
    return penstock::bench::run(options) ? 0 : 1;
  } catch (const std::exception& failure) {
    fmt::print(stderr, "dpdk_bench: {}\n", failure.what());
    return 1;
  }
}
