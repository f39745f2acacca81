// SPDX-License-Identifier: Apache-2.0
// Files that are watched, as a renewal changes them.
#include "controlplane/sidecar/file_watch.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>

namespace penstock {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

class TheFileWatch : public ::testing::Test {
 protected:
  TheFileWatch() {
    std::string pattern = testing::TempDir() + "penstock-watch-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    write("web.pem");
  }
  ~TheFileWatch() override { fs::remove_all(directory_); }

  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  void write(const std::string& name) { std::ofstream(path(name)) << name; }

  // Follows the file, anew with each change, as who looks at certificates does.
  FileWatch watch() {
    auto watch = FileWatch::open(context_, [this] {
      told_++;
      watch_->follow({path("web.pem")});
    });
    return std::move(*watch);
  }

  boost::asio::io_context context_;
  std::string directory_;
  std::optional<FileWatch> watch_;
  int told_ = 0;
};

TEST_F(TheFileWatch, TellsOfARenewalOnceAndNotOfItsOwnFollowing) {
  watch_ = watch();
  watch_->follow({path("web.pem")});
  write("new");
  fs::rename(path("new"), path("web.pem"));
  context_.run_for(milliseconds(1500));
  EXPECT_EQ(told_, 1);
}

TEST_F(TheFileWatch, TellsOfALinksTargetInAnotherDirectory) {
  fs::create_directory(path("archive"));
  write("archive/1.pem");
  fs::remove(path("web.pem"));
  fs::create_symlink(path("archive/1.pem"), path("web.pem"));
  watch_ = watch();
  watch_->follow({path("web.pem")});
  write("archive/1.pem");
  context_.run_for(milliseconds(600));
  EXPECT_EQ(told_, 1);
}

TEST_F(TheFileWatch, IsQuietWhereNothingChanges) {
  watch_ = watch();
  watch_->follow({path("web.pem"), path("no/such/file")});
  watch_->follow({path("web.pem")});
  context_.run_for(milliseconds(600));
  EXPECT_EQ(told_, 0);
}

}  // namespace
}  // namespace penstock
