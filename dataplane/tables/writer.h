// SPDX-License-Identifier: Apache-2.0
// Applies a delta to the tables, whoever's memory they are: waits until no packet reads the unused
// generation any more, writes it, and publishes it.
#pragma once

#include <functional>
#include <vector>

#include "dataplane/dataplane.h"
#include "dataplane/tables/local_interfaces.h"
#include "dataplane/tables/memory.h"

namespace penstock {

class TableWriter {
 public:
  // `wait_for_readers` returns when every packet that was being forwarded at its call is through;
  // it is the driver's proof. The tables outlive the writer.
  TableWriter(const ps_tables& tables, std::function<Result<void>()> wait_for_readers);

  // What the published generation holds: nothing in tables made anew.
  ForwardingState read() const;
  // Writes delta.next and its lookup tables, with the interfaces that the driver forwards on, and
  // publishes them.
  Result<void> apply(const Delta& delta, const std::vector<LocalInterface>& interfaces);

 private:
  ps_tables tables_;
  std::function<Result<void>()> wait_for_readers_;
};

}  // namespace penstock
