// SPDX-License-Identifier: Apache-2.0
// The tables' home under DPDK: a file that the control plane and the forwarder map. It outlives
// both, so a forwarder that was killed finds its flows again. On a hugetlbfs its pages are large.
//
//   [ForwarderReport][table][table]...   each from a page of its own on
//
// Who uses it holds a lock on one of its bytes (F_OFD_SETLK), which ends with the process: one for
// the control plane, one for the forwarder.
#pragma once

#include <memory>
#include <string>

#include "dataplane/dataplane.h"
#include "dataplane/dpdk/report.h"
#include "dataplane/fd.h"
#include "dataplane/tables/memory.h"

namespace penstock::dpdk {

enum class Holder : uint8_t { kControlPlane, kForwarder };

class Segment {
 public:
  // Maps the file; makes it with tables of these sizes when there is none, or one that its maker
  // did not finish. kConflict: its tables are of other sizes or of another version.
  static Result<Segment> open_or_make(const std::string& path, const TableSizes& sizes);
  // Maps what is there, of whatever sizes. kNotFound, kConflict: of another version.
  static Result<Segment> open(const std::string& path);

  // kConflict: another process is that holder. Held for as long as this lives.
  Result<void> hold(Holder holder);
  bool is_held(Holder holder) const;  // by another process

  const ps_tables& tables() const { return tables_; }
  ForwarderReport& report() const { return *report_; }
  bool adopted() const { return adopted_; }  // the tables were there

 private:
  struct Unmap {
    size_t bytes = 0;
    void operator()(void* memory) const;
  };

  Segment() : memory_(nullptr, Unmap{}) {}
  Result<void> map(const TableSizes& sizes);

  std::string path_;
  Fd file_;
  std::unique_ptr<void, Unmap> memory_;
  ForwarderReport* report_ = nullptr;
  ps_tables tables_{};
  bool adopted_ = false;
};

// Of the clock that flows are stamped with under DPDK: it goes on while nobody forwards.
uint32_t now_ticks();

}  // namespace penstock::dpdk
