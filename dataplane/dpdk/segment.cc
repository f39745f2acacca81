// SPDX-License-Identifier: Apache-2.0
#include "dataplane/dpdk/segment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <ctime>
#include <filesystem>

#include "dataplane/tables/layout.h"

namespace penstock::dpdk {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = 2u << 20;

constexpr size_t round_up(size_t bytes, size_t to) {
  return (bytes + to - 1) / to * to;
}

bool is_hugetlbfs(int fd) {
  struct statfs info {};
  return fstatfs(fd, &info) == 0 && info.f_type == static_cast<long>(HUGETLBFS_MAGIC);
}

// Where each table begins, in the order of table_layouts; the last one is the end of all.
std::vector<size_t> places(const std::vector<TableLayout>& layouts) {
  std::vector<size_t> found{round_up(sizeof(ForwarderReport), kPage)};
  for (const TableLayout& table : layouts) {
    const size_t bytes = static_cast<size_t>(table.elements) * table.element_bytes;
    found.push_back(found.back() + round_up(bytes, kPage));
  }
  return found;
}

size_t size_of(const TableSizes& sizes) {
  return places(table_layouts(sizes, kMaxWorkers)).back();
}

TableSizes sizes_of(const ps_control& control) {
  return {control.flow_table_entries, control.max_services,     control.max_backends,
          control.affinity_tables,    control.affinity_entries, control.access_nodes};
}

struct flock lock_of(Holder holder) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(holder);
  lock.l_len = 1;
  return lock;
}

// All of it, so that no store meets a full file system later.
Result<void> reserve(int fd, const std::string& path, size_t bytes) {
  struct stat now {};
  if (fstat(fd, &now) != 0) return fail_errno(fmt::format("cannot read {}", path), errno);
  if (static_cast<size_t>(now.st_size) >= bytes) return {};
  if (fallocate(fd, 0, 0, static_cast<off_t>(bytes)) == 0) return {};
  const int error = errno;
  const char* way_out = is_hugetlbfs(fd) ? "reserve more huge pages (sysctl vm.nr_hugepages)"
                                         : "make room, or lower dataplane.flow_table_entries";
  return fail_errno(fmt::format("the tables need {} MB at {}: {}", bytes >> 20, path, way_out),
                    error);
}

}  // namespace

uint32_t now_ticks() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const uint64_t ns =
      static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
  return static_cast<uint32_t>(ns >> PS_TICK_SHIFT);
}

void Segment::Unmap::operator()(void* memory) const {
  munmap(memory, bytes);
}

Result<void> Segment::map(const TableSizes& sizes) {
  const std::vector<TableLayout> layouts = table_layouts(sizes, kMaxWorkers);
  const std::vector<size_t> at = places(layouts);
  const size_t bytes = round_up(at.back(), is_hugetlbfs(file_.get()) ? kHugePage : kPage);
  if (auto reserved = reserve(file_.get(), path_, bytes); !reserved) return reserved;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
  if (memory == MAP_FAILED) return fail_errno(fmt::format("cannot map {}", path_), errno);
  memory_ = {memory, Unmap{bytes}};
  madvise(memory, bytes, MADV_HUGEPAGE);  // where a tmpfs has them
  report_ = static_cast<ForwarderReport*>(memory);
  tables_ = unplaced_tables(sizes, kMaxWorkers);
  for (size_t i = 0; i < layouts.size(); i++) {
    layouts[i].place(tables_, static_cast<char*>(memory) + at[i]);
  }
  return {};
}

Result<Segment> Segment::open_or_make(const std::string& path, const TableSizes& sizes) {
  if (auto found = open(path); found) {
    auto fits = check_control(*found->tables_.control, sizes, kMaxWorkers);
    if (!fits) return tl::unexpected(fits.error());
    return found;
  } else if (found.error().kind != ErrorKind::kNotFound) {
    return found;
  }
  std::error_code ignored;
  fs::create_directories(fs::path(path).parent_path(), ignored);
  Segment made;
  made.path_ = path;
  made.file_ = Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!made.file_) return fail_errno(fmt::format("cannot make {}", path), errno);
  if (auto mapped = made.map(sizes); !mapped) {
    unlink(path.c_str());
    return tl::unexpected(mapped.error());
  }
  made.report_->version = kReportVersion;
  for (WorkerReport& worker : made.report_->worker) go_offline(worker);
  initialise_control(made.tables_, sizes);
  return made;
}

Result<Segment> Segment::open(const std::string& path) {
  const auto none = [&] {
    return fail(ErrorKind::kNotFound, fmt::format("there are no tables at {}", path));
  };
  Segment found{};
  found.path_ = path;
  found.file_ = Fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!found.file_ && errno == ENOENT) return none();
  if (!found.file_) return fail_errno(fmt::format("cannot open {}", path), errno);
  struct stat now {};
  if (fstat(found.file_.get(), &now) != 0) return none();
  if (static_cast<size_t>(now.st_size) < size_of({8, 2, 2, 0, 12, 2})) return none();
  // `control` is the first table: it stands at the same place whatever the sizes.
  if (auto mapped = found.map({8, 2, 2, 0, 12, 2}); !mapped) return tl::unexpected(mapped.error());
  const ps_control control = *found.tables_.control;
  if (control.layout_version == 0) return none();
  const bool is_ours = control.layout_version == PS_LAYOUT_VERSION &&
                       found.report_->version == kReportVersion &&
                       static_cast<size_t>(now.st_size) >= size_of(sizes_of(control));
  if (!is_ours) {
    return fail(ErrorKind::kConflict,
                fmt::format("the tables at {} are another version's: run `penstock stop` first "
                            "(open connections will be lost)",
                            path));
  }
  if (auto mapped = found.map(sizes_of(control)); !mapped) return tl::unexpected(mapped.error());
  found.adopted_ = true;
  return found;
}

Result<void> Segment::hold(Holder holder) {
  struct flock lock = lock_of(holder);
  if (fcntl(file_.get(), F_OFD_SETLK, &lock) == 0) return {};
  return fail(ErrorKind::kConflict,
              fmt::format("another {} has {}",
                          holder == Holder::kForwarder ? "penstock-dpdk" : "penstock", path_));
}

bool Segment::is_held(Holder holder) const {
  struct flock lock = lock_of(holder);
  return fcntl(file_.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

}  // namespace penstock::dpdk
