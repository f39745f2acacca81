// SPDX-License-Identifier: Apache-2.0
// Copies of certificates: what is not good never replaces one that serves.
#include "controlplane/sidecar/certificate_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "controlplane/config/text_file.h"
#include "tests/unit/certificate_maker.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using std::chrono::days;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class TheCertificateStore : public ::testing::Test {
 protected:
  TheCertificateStore() {
    std::string pattern = testing::TempDir() + "penstock-store-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    fs::create_directory(directory_ + "/copies");
    store_.emplace(directory_ + "/copies", getgid());
  }
  ~TheCertificateStore() override { fs::remove_all(directory_); }

  std::string path(const std::string& name = "web.pem") const { return directory_ + "/" + name; }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(path(name)) << text;
  }

  std::string pem(OpenSslPtr<EVP_PKEY> key = make_ecdsa_key(), days left = days(90)) {
    const auto made = make_certificate(
        {"example.com", "DNS:example.com", kNow - days(100), kNow + left, false}, std::move(key));
    return pem_of(made.certificate) + pem_of(made.key);
  }

  std::string copy(const std::string& ending = "") {
    return read_text_file(store_->copy_of(path()) + ending).value_or("");
  }

  const sys_seconds kNow = sys_seconds(days(20'000));
  std::string directory_;
  std::optional<CertificateStore> store_;
};

TEST_F(TheCertificateStore, CopiesAGoodFileForHaproxysEyesOnly) {
  const std::string text = pem();
  write("web.pem", text);
  EXPECT_EQ(store_->take(path(), kNow).value(), Renewal::kRenewed);
  EXPECT_EQ(copy(), text);
  struct stat status {};
  ASSERT_EQ(stat(store_->copy_of(path()).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
  EXPECT_EQ(store_->take(path(), kNow).value(), Renewal::kSame);
}

TEST_F(TheCertificateStore, KeepsTheOneBeforeWhenTheFileIsBad) {
  const std::string good = pem();
  write("web.pem", good);
  ASSERT_TRUE(store_->take(path(), kNow));
  for (const std::string& bad :
       {std::string("nothing"), pem(make_ecdsa_key(), days(-1)), good.substr(0, good.size() / 2)}) {
    write("web.pem", bad);
    const auto taken = store_->take(path(), kNow);
    ASSERT_FALSE(taken);
    EXPECT_THAT(taken.error().message, HasSubstr(path()));
    EXPECT_EQ(copy(), good);
    EXPECT_TRUE(store_->has(path()));
  }
}

TEST_F(TheCertificateStore, TakesAPairAndItsOcspAnswers) {
  write("web.pem.rsa", pem(make_rsa_key()));
  write("web.pem.ecdsa", pem());
  write("web.pem.rsa.ocsp", "answer");
  ASSERT_TRUE(store_->take(path(), kNow));
  EXPECT_THAT(store_->files(path()), SizeIs(3));
  EXPECT_EQ(copy(".rsa.ocsp"), "answer");
  EXPECT_THAT(store_->served().at(path()), SizeIs(2));
  fs::remove(path("web.pem.rsa.ocsp"));
  EXPECT_EQ(store_->take(path(), kNow).value(), Renewal::kRenewed);
  EXPECT_THAT(store_->files(path()), SizeIs(2));
}

TEST_F(TheCertificateStore, ServesOneFileWhereThereWasAPair) {
  write("web.pem.rsa", pem(make_rsa_key()));
  write("web.pem.ecdsa", pem());
  ASSERT_TRUE(store_->take(path(), kNow));
  write("web.pem", pem());
  EXPECT_EQ(store_->take(path(), kNow).value(), Renewal::kRenewed);
  EXPECT_THAT(store_->files(path()), SizeIs(1));
}

TEST_F(TheCertificateStore, FindsAgainWhatServedBeforeThoughItHasExpired) {
  write("web.pem", pem(make_ecdsa_key(), days(1)));
  ASSERT_TRUE(store_->take(path(), kNow));
  CertificateStore next(directory_ + "/copies", getgid());
  EXPECT_FALSE(next.has(path()));
  next.adopt(path());
  ASSERT_TRUE(next.has(path()));
  EXPECT_EQ(next.served().at(path())[0].path, path());
  EXPECT_FALSE(next.take(path(), kNow + days(2)));
  EXPECT_TRUE(next.has(path()));
}

TEST_F(TheCertificateStore, ForgetsWhatNoServiceNames) {
  write("web.pem", pem());
  write("api.pem", pem());
  ASSERT_TRUE(store_->take(path(), kNow));
  ASSERT_TRUE(store_->take(path("api.pem"), kNow));
  store_->keep_only({path("api.pem")});
  EXPECT_FALSE(store_->has(path()));
  EXPECT_FALSE(fs::exists(store_->copy_of(path())));
  EXPECT_TRUE(fs::exists(store_->copy_of(path("api.pem"))));
}

TEST_F(TheCertificateStore, GivesNoTwoFilesOneCopy) {
  EXPECT_NE(store_->copy_of("/a/b:c.pem"), store_->copy_of("/a:b/c.pem"));
  EXPECT_NE(store_->copy_of("/a%3ab"), store_->copy_of("/a:b"));
}

}  // namespace
}  // namespace penstock
